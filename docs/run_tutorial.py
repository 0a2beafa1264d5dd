"""Run the command blocks of the tutorial in their order, in one folder, as a reader would.

    python docs/run_tutorial.py FOLDER             run them in FOLDER
    python docs/run_tutorial.py FOLDER --pictures  and renew the tutorial's pictures

A block with a title is a file, a block of bash is a command. A block below a comment
`not run: FILE` is not run here, but by what FILE says.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
PAGES = [
    DOCS / "tutorial" / f"{name}.md"
    for name in ("first-surface", "checkpoint", "cluster", "is-it-true")
]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<elsewhere>\S+) -->\n)?"
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n'
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PICTURE_WIDTH = 900  # pixels; twice the width of a page on most screens would be 1400


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: What stands behind the fence.
        title: Name of the file that the block is, or None.
        text: Its lines.
        elsewhere: Who runs it, where that is not this script.
    """

    language: str
    title: str | None
    text: str
    elsewhere: str | None


def blocks(page):
    """Return the fenced blocks of a page in their order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(m["language"], m["title"], m["text"], m["elsewhere"]) for m in found]


def run_page(page, folder, env=None):
    """Write the files of a page into a folder, run its commands, return what they print.

    Raises:
        subprocess.CalledProcessError: If a command fails.
    """
    printed = []
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "bash" and not block.elsewhere:
            command = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.PIPE)
            printed.append(done.stdout.decode())
    return "".join(printed)


def renew_pictures(folder):
    """Take the pictures that the pages show from the folder where the commands ran."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in sorted(set(re.findall(r"images/tutorial_(\w+\.png)", text))):
        picture = Image.open(folder / "runs" / name).convert("RGB")
        height = round(picture.height * PICTURE_WIDTH / picture.width)
        small = picture.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
        small.save(DOCS / "images" / f"tutorial_{name}", optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        sys.stdout.write(run_page(page, arguments.folder))
    if arguments.pictures:
        renew_pictures(arguments.folder)


if __name__ == "__main__":
    main()
