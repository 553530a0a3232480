"""English words that fit every topic: banks by slot, names, towns, and kin for near duplicates.

`SWAPS` maps a word to the words that may stand in its place without breaking the sentence.
"""
# ruff: noqa: E501

from samples.grammar import bank

WOMEN = bank("""Ada|Brenda|Clara|Dorothea|Edith|Fiona|Greta|Hilda|Imogen|Judith|Katrin|Lena|Marta|Nadia
Olive|Petra|Rosalind|Selma|Thea|Ursula|Vera|Wilma|Yvonne|Zora|Agnes|Beatrix|Carmen|Delia|Esther""")
MEN = bank("""Albert|Bruno|Caspar|Dennis|Edgar|Felix|Gordon|Harold|Ivor|Jasper|Karl|Lionel|Magnus|Nigel
Oscar|Percy|Quentin|Ralph|Stefan|Tobias|Ulric|Victor|Walter|Yusuf|Anton|Basil|Cyril|Desmond|Emil""")
_SURNAME_HEADS = bank("""Ash|Bell|Carr|Dun|Elling|Farn|Gold|Har|Ives|Kirk|Lang|Mar|North|Oak|Pem|Quar
Rush|Sand|Thorn|Under|Vale|West|Yard|Black|Crow|Drey|Fen|Hol|Lund|Stan""")
_SURNAME_TAILS = bank(
    "by|combe|den|field|ford|gate|ham|hurst|ley|man|more|sted|ton|wick|wood|worth"
)
SURNAMES = tuple(head + tail for head in _SURNAME_HEADS for tail in _SURNAME_TAILS)
_TOWN_HEADS = bank("""Alder|Birch|Cold|Dray|Ember|Fallow|Grim|Heron|Iron|Juniper|Kestrel|Lark|Mallow
Nettle|Otter|Plover|Raven|Sorrel|Teasel|Upper|Wren|Yarrow|Amber|Bramble|Copper|Drift|Elm|Flint""")
_TOWN_TAILS = bank("""bridge|burn|cliffe|cross|dale|fell|garth|haven|holm|inch|mere|minster|mouth|ness
pool|quay|stead|stoke|thorpe|wath""")
TOWNS = tuple(head + tail for head in _TOWN_HEADS for tail in _TOWN_TAILS)
CLUBS = bank(
    """Society|Circle|Trust|Guild|Association|Working Group|Friends|Co-operative|Club|League"""
)

ADJECTIVES = bank("""small|quiet|stubborn|handsome|battered|narrow|sturdy|modest|crooked|pale|famous
weathered|patient|curious|borrowed|heavy|simple|clever|awkward|gentle|neglected|careful|dusty|faithful
humble|lively|odd|plain|rough|shabby|slender|solid|strange|tidy|worn|bright|cheap|rare|damp|gloomy""")
NUMBER_WORDS = bank(
    "three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|fifteen|twenty"
)
MONTHS = bank("""January|February|March|April|May|June|July|August|September|October|November
December""")
WEEKDAYS = bank("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")

# Added to each topic's own banks, so that a long article does not run dry.
COMMON = {
    "thing": (),
    "things": bank("wooden boxes|spare parts|tin buckets|old baskets"),
    "tool": bank("pocket knife|wooden mallet|soft brush|hand lamp|folding rule"),
    "stuff": bank("soft soap|clean water|old newspaper|thin string"),
    "act": bank("""sorting the cupboards|raising money for the roof|keeping the diary|arguing kindly
sweeping the floor|answering letters|waiting for better weather|repairing what others throw away
carrying boxes|drawing up the rota|asking the same question twice|making tea for everybody"""),
    "todo": bank("""begin on a small scale|keep a notebook within reach|ask before you lift anything
clean up the same evening|listen to the oldest member|never trust the first try|measure everything
share the good tools|write the date on everything|start early and stop early|bring a warm coat
leave the place as you found it|finish one thing first|count the pieces before supper"""),
    "good": bank("""a result that others can repeat|a week without complaints|a small but steady profit
the quiet pride of a good day|something worth showing to children|an evening without hurry
a waiting list of volunteers|the thanks of a whole street|a better mood at breakfast
a reason to come back|fewer surprises in winter|less waste and more laughter"""),
    "bad": bank("""a long and expensive silence|an angry letter to the council|a bill nobody expected
a week of wet boots|a quarrel that lasts for years|the loss of a whole season|a very cold supper
a cupboard full of useless parts|a visit from the inspector|three lost weekends
a rumour that spreads by noon|a door that no longer shuts"""),
    "people": bank("newcomers|neighbours|older members|weekend visitors|careful readers|beginners"),
    "spot": bank("the yard|the old schoolroom|the corner by the stove|the door on the left"),
}

_VERBS = bank("says|remarks|recalls|explains|admits|thinks")
_FAMILIES = (
    ADJECTIVES,
    NUMBER_WORDS,
    MONTHS,
    WEEKDAYS,
    _VERBS,
    bank("years|weeks|months|days|winters|seasons"),
    bank("often|sometimes|usually|rarely"),
    bank("because|since"),
    bank("before|after"),
)
SWAPS = {
    word: tuple(other for other in family if other != word)
    for family in _FAMILIES
    for word in family
}
