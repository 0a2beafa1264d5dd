"""A hook of mkdocs: on the site a link to a file outside of docs/ becomes that file's path."""

import posixpath
import re

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#:]+)\)")


def on_page_markdown(markdown, page, config, files):
    """Return the page's Markdown with links into the rest of the repository as plain paths."""
    folder = posixpath.dirname(page.file.src_uri)

    def replace(link):
        path = posixpath.normpath(posixpath.join("docs", folder, link.group(2)))
        return link.group(0) if path.startswith("docs/") else f"`{path}`"

    return LINK.sub(replace, markdown)
