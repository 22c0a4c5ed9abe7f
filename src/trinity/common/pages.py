"""Pages for people who follow a link to where programs get JSON, in the design of the web page."""

from trinity.common.requests import Response, prefers

HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}
_LOGO = (
    '<svg class="logo" viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="13.5" r="11"'
    ' class="l1"/><circle cx="13" cy="25.5" r="11" class="l2"/><circle cx="27" cy="25.5" r="11"'
    ' class="l3"/></svg>'
)


def page(title: str, content: str) -> str:
    """Return a page that runs no script.

    Args:
        title: a sentence, HTML of ours.
        content: what stands below it, HTML of ours.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} · Trinity</title>"
        '<link rel="icon" href="/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/style.css"></head><body><main><div class="page">'
        '<header class="bar"><a class="home" href="/" aria-label="Trinity, start page">'
        f"{_LOGO}<span>Trinity</span></a></header>"
        f'<div class="narrow stack sheet"><h1>{title}</h1>{content}</div></div></main>'
        "</body></html>"
    )


def instead_of(problem: Response, title: str, content: str) -> Response:
    """Return a response that tells people what a problem document tells programs."""
    headers = {**problem["headers"], **HEADERS}
    return {**problem, "headers": headers, "body": page(title, content)}


def wanted(headers: dict[str, str]) -> bool:
    """Tell whether it is a browser that asks, for somebody to look at the answer."""
    return prefers(headers.get("accept", ""), "text/html", over="application/json")
