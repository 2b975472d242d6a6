"""Ask for a password, twice, and print the hash to put in USER_DB."""

import getpass
import sys

from imframework_plugins.auth.userdb.passwords import PasswordHash


def main() -> int:
    """Exit code 0, or 1 when the two differ or nothing was given."""
    password = getpass.getpass("Password: ")
    if not password or getpass.getpass("Again: ") != password:
        sys.stderr.write("The passwords are empty or differ.\n")
        return 1
    sys.stdout.write(f"{PasswordHash.make(password)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
