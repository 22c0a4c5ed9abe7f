"""Trinity: groups decide together by swiping through a shared deck until they agree."""

import gc
import os

__version__ = "0.1.0"

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # A function that starts makes many objects and no garbage. Looking for some took a twentieth of
    # the start; `bootstrap` lets the collector work as soon as the function is there.
    gc.disable()
