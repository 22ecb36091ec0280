"""What is wrong with a JSON document, in the words of TF Serving's parser (RapidJSON), which clients look for."""

import orjson

_INVALID = "Invalid value."
_NO_NAME = "Missing a name for object member."
_AFTER_ELEMENT = "Missing a comma or ] after an array element."
_AFTER_MEMBER = "Missing a comma or } after an object member."
# Ours says the left; theirs the right.
_WORDS = {
    "unexpected content after document": "The document root must not be followed by other values.",
    "expected ',' or ']'": _AFTER_ELEMENT,
    "expected ',' or '}'": _AFTER_MEMBER,
    "expected ':'": "Missing a colon after a name of object member.",
    "expected a string key": _NO_NAME,
    "number with leading zero": _AFTER_ELEMENT,
    "after decimal point": "Miss fraction part in number.",
    "after exponent": "Miss exponent part in number.",
    "infinity when parsed": "Number too big to be stored in double.",
    "escaped sequence": "Invalid escape character in string.",
    "surrogate in string": "The surrogate pair in string is invalid.",
    "not valid UTF-8": "Invalid encoding in string.",
    "control character": "Invalid encoding in string.",
    "is empty": "The document is empty.",
}
_MOST_LOOKED_THROUGH = 1 << 16


def words_for(body: bytes, error: orjson.JSONDecodeError) -> str:
    """What is wrong, and where: the words and the offset."""
    return f"{_words(body, error)} at offset: {error.pos}"


def _words(body: bytes, error: orjson.JSONDecodeError) -> str:
    if error.msg.startswith("unexpected end of data"):
        return _of_end(body)
    if error.msg.startswith("trailing comma"):
        return _INVALID if body[error.pos + 1 :].lstrip()[:1] == b"]" else _NO_NAME
    return next((theirs for ours, theirs in _WORDS.items() if ours in error.msg), _INVALID)


def _of_end(body: bytes) -> str:
    """What is missing at the end of a document that is well formed so far."""
    if len(body) > _MOST_LOOKED_THROUGH:
        return _INVALID
    opened: list[int] = []
    in_string = escaped = False
    for byte in body:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            opened.append(byte)
        elif byte in b"]}" and opened:
            opened.pop()
    if in_string:
        return "Missing a closing quotation mark in string."
    text = body.rstrip()
    last = text[-1:]
    if not opened or last in (b"[", b":") or (last == b"," and opened[-1] == ord("[")):
        return _INVALID
    if last in (b"{", b","):
        return _NO_NAME
    if opened[-1] == ord("["):
        return _AFTER_ELEMENT
    return _AFTER_MEMBER
