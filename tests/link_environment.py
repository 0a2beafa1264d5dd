"""Let a virtual environment borrow the packages of another one: used by the Makefile.

    .venv-openmpi/bin/python tests/link_environment.py REPOSITORY LENDER

A .pth file puts the repository and the lender's packages behind the borrower's own, so that the
borrower's mpi4py and MPI library come first.
"""

import sys
import sysconfig
from pathlib import Path


def main() -> None:
    repository, lender = sys.argv[1:]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(lender) / "lib" / version / "site-packages"
    link = Path(sysconfig.get_paths()["purelib"]) / "borrowed.pth"
    link.write_text(f"{packages}\n{repository}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
