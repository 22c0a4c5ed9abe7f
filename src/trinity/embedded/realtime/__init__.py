"""AppSync's real-time endpoint on one machine.

https://docs.aws.amazon.com/appsync/latest/devguide/real-time-websocket-client.html
"""

from trinity.embedded.realtime.endpoint import Realtime

__all__ = ["Realtime"]
