"""`python -m advcourse`: the command `advcourse`, for when it is not on the PATH."""

from advcourse.cli import main

if __name__ == "__main__":
    main()
