"""`python -m modelyard.gateway`: start the gateway's process."""

from modelyard.gateway.process import main

if __name__ == "__main__":
    main()
