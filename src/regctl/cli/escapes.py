"""Names from outside as text for a terminal: what could steer it is shown as an escape."""


def escape_controls(text: str) -> str:
    """
    Return *text* with everything that could steer a terminal or break a line shown as an escape.

    That is control characters (C0, DEL, C1), the two Unicode line separators, bidirectional
    overrides and bytes that are not UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def tab_separated(cells: list[str]) -> str:
    """Join *cells*, each escaped; quickly if there is nothing to escape."""
    return "\t".join(cells if "".join(cells).isprintable() else map(escape_controls, cells))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
