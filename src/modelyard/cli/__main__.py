"""`python -m modelyard.cli`: the same as `yard`."""

from modelyard.cli import main

if __name__ == "__main__":
    main()
