"""The closed kind of words with which a result is stated: a statement holds these words and the value, no more."""

from __future__ import annotations

_STATING_LIST = """
    a above again all also an and answer answers are as at be been before being both boxed by can certainly
    clear clearly comes conclude concluded conclusion conclusively confirm confirmed correct definitely desired
    displaystyle earlier end equal equals exactly final finally find for found frac fully get gets give given
    gives got had has have hence here i in indeed is it its just last mathbf me more must my n need needed no
    noted now number obtain obtained obviously of ok okay once one only our out overall read reads really repeat
    requested required result results right said say see should shown simply so solution state stated states
    still sum summary sure surely text that the then there therefore these this thus to total value was we were
    which will with would x y yes you your
"""
STATING = frozenset(_STATING_LIST.split())
NAMING = frozenset(("answer", "answers", "result", "results", "solution", "final", "conclusion", "boxed"))
"""Those that call it the answer."""
