"""What setup.cfg cannot say: the folders beside the package, and the README where no folder is."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHARED = ("configs", "docs", "jobs", "slurm")  # stay at the top of a checkout


class BuildWithFolders(build_py):
    """Builds the package with the shared folders in it, where `resource.py` looks for them."""

    def run(self):
        """Copy the package, then the folders; an editable install finds them in the checkout."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "losscape_mpi" / "share"
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build
        for name in SHARED:
            shutil.copytree(
                ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
            )


def without_relative_links(text):
    """Return Markdown for a page of an index, where no file of the repository is at hand.

    A link to a file becomes its text with the file's name, a picture its description.
    """

    def link(match):
        words, target = match[1], match[2]
        return words if words.strip("`") == target else f"{words} (`{target}`)"

    relative = r"(?![a-z]+:|#)([^)\s]+)"
    text = re.sub(rf"!\[([^\]]*)\]\({relative}\)", r"*(Picture `\2`: \1)*", text)
    text = re.sub(rf"\[([^\]]*)\]\({relative}\)", link, text)
    images = r'<img\b[^>]*?\balt="([^"]*)"[^>]*>|<img\b[^>]*>|</?(?:picture|source|p|div)\b[^>]*>'
    return re.sub(images, lambda match: f"*({match[1]})*" if match[1] else "", text)


setup(
    cmdclass={"build_py": BuildWithFolders},
    long_description=without_relative_links((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
