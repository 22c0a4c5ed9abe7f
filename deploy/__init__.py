"""Trinity on AWS: what each function is shipped as."""

import os

# CDK runs on Node and has much to say about which; 20 is the one that is there, and works.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "1")
