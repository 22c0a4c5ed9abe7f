"""Start Lambda's own runtime for Python: `launch.py HANDLER FOLDERS [FILE]`.

FOLDERS, joined by colons, are put before everything else that is imported from. If a FILE is
named, the modules that are loaded after each event are written there.
"""

import sys

sys.path[:0] = sys.argv[2].split(":")

import site  # noqa: F401, E402  (Lambda's interpreter loads it, too)

from awslambdaric import bootstrap  # noqa: E402
from awslambdaric.__main__ import main  # noqa: E402

if len(sys.argv) > 3:
    handle = bootstrap.handle_event_request

    def handle_and_tell(*arguments):
        handle(*arguments)
        with open(sys.argv[3], "w") as file:  # noqa: PTH123  (pathlib would be counted)
            file.write("\n".join(sorted(sys.modules)))

    bootstrap.handle_event_request = handle_and_tell

main(["awslambdaric", sys.argv[1]])
