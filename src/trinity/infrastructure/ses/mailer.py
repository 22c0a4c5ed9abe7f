"""`Mailer` by Amazon SES.

Source: SendEmail in the Amazon SES API v2 reference.
"""

import base64

import msgspec

from trinity.infrastructure.aws.client import AwsError, Client
from trinity.ports import Mail, Refused, Unavailable


class SesMailer:
    """See `Mailer`. SES gives each message an id of its own, whatever ours says.

    The role needs `ses:SendEmail` and `ses:SendRawEmail` on the identity of the sender.

    Args:
        client: of SES.
        sender: whom mails come from; an identity that SES has verified.
    """

    def __init__(self, client: Client, sender: str) -> None:
        self._client = client
        self._sender = sender

    def send(self, mail: Mail) -> None:
        """See `Mailer.send`."""
        from trinity.infrastructure.mail.message import compose

        message = compose(mail, self._sender)
        to = _in_ascii(mail.to)
        if to != mail.to:
            message = compose(msgspec.structs.replace(mail, to=to), self._sender)
        request = {
            "FromEmailAddress": self._sender,
            "Destination": {"ToAddresses": [to]},
            "Content": {"Raw": {"Data": base64.b64encode(bytes(message)).decode()}},
        }
        try:
            self._client.send(
                "POST",
                "/v2/email/outbound-emails",
                headers={"content-type": "application/json"},
                body=msgspec.json.encode(request),
                idempotent=False,
            )
        except AwsError as error:  # what it says may name the address
            raise _meaning(error) from None


def _in_ascii(address: str) -> str:
    """Return an address as SES takes it: the domain may have other letters, the rest may not.

    Raises:
        Refused: SES does not know such addresses (RFC 6531).
    """
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise Refused("SES does not know such addresses (RFC 6531)")
    if domain.isascii():
        return address
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        raise Refused("the domain of the address cannot be one") from None


def _meaning(error: AwsError) -> Exception:
    """Return what a refusal means: only what is said of recipient or message is final."""
    final = error.code == "BadRequestException" or (
        # An identity that is not verified is ours, or the sandbox is: for the operator to mend.
        error.code == "MessageRejected" and "not verified" not in error.message
    )
    return (Refused if final else Unavailable)(f"SES answered {error.code}")
