"""`python -m modelyard.runner ASSIGNMENT`: run one try in this process, told as one line of JSON."""

import json
import sys

from modelyard.runner.assignment import Assignment
from modelyard.runner.quick_exit import QuickExit

if __name__ == "__main__":
    leaving = QuickExit()
    from modelyard.runner.child import run

    leaving.status = run(Assignment.from_json(json.loads(sys.argv[1])))
