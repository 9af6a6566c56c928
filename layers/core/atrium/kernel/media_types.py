"""Parses media types in headers (RFC 9110 §8.3.1, §12.5.1). Letter case and unknown parameters are ignored."""

from email.message import Message


def read_media_type(header: str) -> tuple[str, str]:
    """Return the media type and the charset of a `Content-Type` header, in lower case. Both values may be empty."""
    message = Message()
    message["content-type"] = header
    charset = message.get_param("charset", "")
    essence = header.partition(";")[0].strip().lower()
    return essence, charset.strip().lower() if isinstance(charset, str) else "unknown"


def read_quality(accept: str, media_type: str) -> float:
    """Return the quality (0 to 1) of a media type in an `Accept` header. The most specific matching range is used."""
    kind = media_type.partition("/")[0]
    ranges = dict(map(_read_range, accept.split(",")))
    return next((ranges[each] for each in (media_type, f"{kind}/*", "*/*") if each in ranges), 0.0)


def _read_range(text: str) -> tuple[str, float]:
    message = Message()
    message["accept"] = text.strip()
    quality = message.get_param("q", "1", header="accept")
    try:
        return text.partition(";")[0].strip().lower(), float(quality if isinstance(quality, str) else 0)
    except ValueError:
        return "", 0.0
