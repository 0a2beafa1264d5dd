"""How many files of the package a change touched: the table of docs/design.md, from real commits.

python docs/count_changes.py
"""

import subprocess

# What changed, and the beginning of the commit's first line.
CHANGES = {
    "a measure": "Measure weights:",
    "a direction family": "Directions of random signs:",
    "a data set": "Data set npz:",
}


def main():
    print("| change | commit | files of the package | beside them |")
    print("|---|---|---|---|")
    for change, subject in CHANGES.items():
        names = touched(subject)
        own = [name for name in names if name.startswith("losscape_mpi/")]
        others = ", ".join(sorted({name.split("/")[0] for name in names} - {"losscape_mpi"}))
        files = ", ".join(f"`{name.removeprefix('losscape_mpi/')}`" for name in own)
        print(f"| {change} | {subject.rstrip(':')} | {len(own)}: {files} | {others} |")


def touched(subject):
    """Return the files that the commit with this subject touched."""
    search = ["git", "log", "--format=%H", "--fixed-strings", f"--grep={subject}", "--reverse"]
    commit = subprocess.run(search, capture_output=True, text=True, check=True).stdout.split()[0]
    show = ["git", "show", "--name-only", "--format=", commit]
    return subprocess.run(show, capture_output=True, text=True, check=True).stdout.split()


if __name__ == "__main__":
    main()
