"""Names, words and facts that the built-in suite's questions are made of."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jonas Kate Leo Maria Nils Olga Paul Rosa Sam Tina Victor"
)
THINGS = _words(
    "apples books candles coins eggs flowers lemons marbles nails pears pencils shells stamps stones tickets"
)
WORDS = _words(
    "boat bread bridge bucket castle chair cloud corn desk door farm field fish forest garden glass grass hammer hand "
    "harbour horse island jacket kitchen ladder lamp letter market milk mirror mountain mouse music night ocean paper "
    "plant pocket rabbit rain river road salt school shadow shirt silver snow spring stone street summer sugar table "
    "tower train tree valley village wagon water window winter wood"
)
KINDS = _words("blips dobs gorks lems mips norts plims quabs rils snogs tams vorps wugs zants")
"""Words without a meaning."""

COUNTRIES = """
Argentina/Buenos Aires/South America, Austria/Vienna/Europe, Bangladesh/Dhaka/Asia, Belgium/Brussels/Europe,
Bulgaria/Sofia/Europe, Canada/Ottawa/North America, Chile/Santiago/South America, China/Beijing/Asia,
Croatia/Zagreb/Europe, Cuba/Havana/North America, Denmark/Copenhagen/Europe, Ecuador/Quito/South America,
Ethiopia/Addis Ababa/Africa, Finland/Helsinki/Europe, France/Paris/Europe, Germany/Berlin/Europe, Ghana/Accra/Africa,
Greece/Athens/Europe, Hungary/Budapest/Europe, India/New Delhi/Asia, Iran/Tehran/Asia, Iraq/Baghdad/Asia,
Ireland/Dublin/Europe, Italy/Rome/Europe, Japan/Tokyo/Asia, Kenya/Nairobi/Africa, Mexico/Mexico City/North America,
Morocco/Rabat/Africa, Nepal/Kathmandu/Asia, Norway/Oslo/Europe, Pakistan/Islamabad/Asia, Peru/Lima/South America,
Poland/Warsaw/Europe, Portugal/Lisbon/Europe, Romania/Bucharest/Europe, Senegal/Dakar/Africa, Serbia/Belgrade/Europe,
South Korea/Seoul/Asia, Spain/Madrid/Europe, Sweden/Stockholm/Europe, Syria/Damascus/Asia, Thailand/Bangkok/Asia,
Tunisia/Tunis/Africa, Uganda/Kampala/Africa, Uruguay/Montevideo/South America, Venezuela/Caracas/South America,
Vietnam/Hanoi/Asia, Zambia/Lusaka/Africa, Zimbabwe/Harare/Africa
"""
"""Country, capital and continent, where none is spelt or named in two ways."""
PLACES = [entry.split("/") for entry in " ".join(COUNTRIES.split()).split(", ")]
ELEMENTS = dict(
    entry.split("/")
    for entry in _words(
        "hydrogen/H helium/He carbon/C nitrogen/N oxygen/O fluorine/F neon/Ne sodium/Na magnesium/Mg "
        "silicon/Si phosphorus/P sulfur/S chlorine/Cl argon/Ar potassium/K calcium/Ca iron/Fe nickel/Ni "
        "copper/Cu zinc/Zn silver/Ag tin/Sn iodine/I gold/Au mercury/Hg lead/Pb uranium/U"
    )
)
GROUPS = {
    "a planet of our solar system": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune",
    "a day of the weekend": "Saturday Sunday",
    "a day of the week whose name begins with T": "Tuesday Thursday",
    "a month that has exactly 30 days": "April June September November",
    "a month that has 31 days": "January March May July August October December",
    "a month whose name ends with the letter r": "September October November December",
    "a colour of the rainbow": "red orange yellow green blue indigo violet purple",
    "a season of the year": "spring summer autumn fall winter",
    "one of the four points of the compass": "north south east west",
    "a vowel": "a e i o u y",
    "a digit that is odd": "1 3 5 7 9 one three five seven nine",
    "a piece in the game of chess": "king queen rook bishop knight pawn castle",
    "a suit in a pack of cards": "hearts diamonds clubs spades heart diamond club spade",
    "one of the five human senses": "sight hearing touch smell taste vision",
}
UNITS = (
    ("minutes", "hours", 60), ("seconds", "minutes", 60), ("hours", "days", 24), ("days", "weeks", 7),
    ("months", "years", 12), ("centimetres", "metres", 100), ("metres", "kilometres", 1000),
    ("grams", "kilograms", 1000),
)  # fmt: skip
