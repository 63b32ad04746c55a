"""Text of others in Markdown, where it must read as text: escaped unless said otherwise."""

import re

# GitHub's Markdown; an entity, a mention or an autolink would also change the text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~$&#])")
_BLOCK = re.compile(r"[-+](?=\s|$)|-{2,}|=+|\d+(?=[.)](\s|$))")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def escape(value: object) -> str:
    """Any value as one line of text; Markdown stays what it is."""
    if isinstance(value, Markdown):
        return value
    line = re.sub(r"\s+", " ", str(value))
    escaped = _SPECIAL.sub(r"\\\1", line)
    leading = _BLOCK.match(escaped)
    if leading:
        # A digit cannot be escaped, the point after it can.
        cut = leading.end()
        return f"\\{escaped}" if not escaped[0].isdigit() else f"{escaped[:cut]}\\{escaped[cut:]}"
    return escaped


def code(value: object) -> Markdown:
    """Inline code of any text, also within a table."""
    line = " ".join(str(value).split())
    fence = "`" * (max((len(run) for run in re.findall(r"`+", line)), default=0) + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{padding}{line}{padding}{fence}".replace("|", "\\|"))


def link(address: object, text: object = "") -> Markdown:
    """A link to a web address, or the text alone where the address is none: `text`, or the address itself."""
    words = code(text or address)
    if not re.fullmatch(r"https?://\S+", str(address)):
        return words
    # in brackets only these would end the address, and a pipe a table's cell
    target = re.sub(r"[<>\\|]", lambda found: f"%{ord(found[0]):02X}", str(address))
    return Markdown(f"[{words}](<{target}>)")


def block(value: object) -> Markdown:
    """A fenced block; its fence is longer than any in the text."""
    text = str(value)
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return Markdown(f"{fence}text\n{text}\n{fence}")
