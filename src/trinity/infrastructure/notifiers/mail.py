"""Notices as e-mail."""

from html import escape

from trinity.domain.notices import Content
from trinity.ports import Mail, Mailer

_WHY = {
    "matchFound": "You get this mail because you want to hear of matches while you are away.",
    "invited": "You get this mail because somebody entered your address to invite you.",
    "passwordReset": "If you did not ask for this, do nothing: your password stays as it is.",
}


class EmailNotifier:
    """See `Notifier`; it sends to e-mail addresses.

    Args:
        mailer: carries the mails.
    """

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    def send(self, to: str, content: Content) -> None:
        """See `Notifier.send`."""
        self._mailer.send(
            Mail(
                to=to,
                subject=content.title,
                text=_text(content),
                html=_html(content),
                unsubscribe_url=content.unsubscribe_url,
                id=content.id,
            )
        )


def _text(content: Content) -> str:
    stop = content.unsubscribe_url and f"No more mails like this: {content.unsubscribe_url}\n"
    return (
        f"{content.text}\n\n{content.action}: {content.link}\n\n-- \n{_WHY[content.kind]}\n{stop}"
    )


def _html(content: Content) -> str:
    """Return a page that needs nothing from elsewhere: whoever opens a mail is told to nobody."""
    url = escape(content.unsubscribe_url)
    stop = url and f'\n<a href="{url}">No more mails like this</a>.'
    return f"""\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(content.title)}</title></head>
<body style="font-family: system-ui, sans-serif; max-width: 34em; margin: 2em auto; padding: 0 1em">
<h1 style="font-size: 1.4em">{escape(content.title)}</h1>
<p>{escape(content.text)}</p>
<p><a href="{escape(content.link)}">{escape(content.action)}</a></p>
<p style="color: #667; font-size: 0.85em">{_WHY[content.kind]}{stop}</p>
</body>
</html>
"""
