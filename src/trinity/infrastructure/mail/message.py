"""A mail as an Internet message (RFC 5322), the same whoever carries it."""

from email.message import EmailMessage
from email.policy import default
from email.utils import formatdate, make_msgid, parseaddr

from trinity.ports import Mail


def compose(mail: Mail, sender: str) -> EmailMessage:
    """Return the message.

    Args:
        mail: what is to be said to whom.
        sender: an address, with or without a name: `Trinity <trinity@example.org>`.

    Raises:
        ValueError: a header would hold a line feed.
    """
    domain = parseaddr(sender)[1].rpartition("@")[2]
    # Seven bits pass everywhere. Only an address of other letters cannot be written with them, and
    # servers that know such addresses take all headers so (RFC 6532). A word that is longer than a
    # line, a link for example, would be written as an encoded word, which is only for text: so
    # lines are as long as they may be (RFC 5322, 2.1.1).
    policy = default.clone(utf8=not mail.to.isascii(), cte_type="7bit", max_line_length=998)
    message = EmailMessage(policy)
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{mail.id}@{domain}>" if mail.id else make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is to be answered
    if mail.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
        if mail.unsubscribe_url.startswith("https:"):  # RFC 8058 asks for it
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message
