"""Passwords stay out of everything that is printed, logged or stored."""

import re

_IN_ADDRESS = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):[^\s]*@")
_IN_QUERY = re.compile(r"((?:password|passwd|pwd)(?:=|%3D))[^\s&;'\"]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """The text with `***` in the place of every password in an address, such as `http://user:***@host`.

    An address's password reaches from the first colon after its user to the last `@`, since databases take one with
    `/`, `:` or `@` in it. `password=` and `pwd=` in an address's options are covered too.
    """
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", text))
