"""Phrases of planted pages: link farms, placeholder text, notices, bad words."""
# ruff: noqa: E501

from samples.grammar import bank

LINK_WORDS = bank(
    "cheap|best|buy|online|discount|free|top|sale|review|now|bonus|2023|deals|cheapest"
)
STUFFING = bank("cheap|best|buy|discount|top rated|affordable|online|quality|original|new")
LATIN = bank("""dolora|situm|ametus|consecta|adipis|elitor|seddo|tempora|incidus|laborem|magnal|aliqua
veniam|nostrud|ullam|nisir|commodo|autem|velit|essum|cillor|fugiat|nullam|paria|excepta|sinta|cupida
proiden|culpor|officia|deserun|mollit|animus|laborum""")
NOTICES = [
    "Please enable JavaScript in your browser to view this site.",
    "JavaScript is disabled. This page needs it to load its content.",
    "You have JavaScript switched off, so most of this page will not work.",
    "Loading, please wait while we check your browser.",
]
SHORT = bank("""This page has moved.|The shop is closed this week.|Back soon.|No entries were found.
We are working on this page.|Photos will follow.|There is nothing here yet.|Opening hours on request.""")
ADULT = bank("""Sexy nude pictures and free porn are one click away, all of it xxx and none of it tested.
Hot xxx videos and more porn than you can watch wait behind this button.
Every nude gallery on this page is free, every sexy model is waiting for you.
The best porn of the week, the newest xxx clips, the most sexy stars.
Click for nude webcams and sexy chats with adults near you.
More porn, more xxx, more nude photographs are added every single hour.""")
