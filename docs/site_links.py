"""A hook of mkdocs: what a link of a page says on the site.

A link to a file outside of docs/ becomes that file's path, a link that is called after its page's
file, such as study.md, is called by the page's title.
"""

import posixpath
import re

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#:]*)(#[^)\s]*)?\)")


def on_page_markdown(markdown, page, config, files):
    """Return the page's Markdown with its links as the site needs them."""
    folder = posixpath.dirname(page.file.src_uri)

    def replace(link):
        text, path, place = link.groups(default="")
        target = posixpath.normpath(posixpath.join(folder, path))
        if target.startswith("../"):
            return f"`{posixpath.normpath(posixpath.join('docs', target))}`"
        file = files.get_file_from_path(target)
        if text.endswith(".md") and file is not None and file.page is not None:
            text = file.page.title
        return f"[{text}]({path}{place})"

    return LINK.sub(replace, markdown)
