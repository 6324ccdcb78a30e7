"""What the app says, in each of its languages: one table, and what is made of its texts.

A text is looked up by its key; braces have the names of what is put in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

LANGUAGES = {"en": "English", "de": "Deutsch"}
DEFAULT = "en"

Say = Callable[..., str]
"""Returns the text of a key in one language: `say("retry_in", seconds=5)`."""

TEXTS: dict[str, dict[str, str]] = {
    # -- the form
    "sentence": {"en": "What should be in the picture", "de": "Was soll auf dem Bild sein"},
    "keyword": {"en": "Keyword", "de": "Stichwort"},
    "keyword_hint": {"en": "taken from the sentence", "de": "wird dem Satz entnommen"},
    "without": {"en": "Without", "de": "Ohne"},
    "without_hint": {"en": "up to 5 things, with commas", "de": "bis zu 5 Dinge, mit Kommas"},
    "search": {"en": "Search", "de": "Suchen"},
    "stop": {"en": "Stop", "de": "Anhalten"},
    "place": {"en": "Search in", "de": "Suchen in"},
    "by_keyword": {"en": "pictures by keyword", "de": "Bildern zum Stichwort"},
    "everything": {"en": "everything stored", "de": "allem Gespeicherten"},
    "choose_picture": {"en": "Search by a picture", "de": "Mit einem Bild suchen"},
    "your_picture": {"en": "Your picture", "de": "Ihr Bild"},
    "this_picture": {"en": "This picture", "de": "Dieses Bild"},
    "take_out": {"en": "Take out: {name}", "de": "Entfernen: {name}"},
    "new_search": {"en": "New search", "de": "Neue Suche"},
    "more_options": {"en": "More options", "de": "Weitere Angaben"},
    "needs_words": {
        "en": "Describe what should be in the picture, or choose one.",
        "de": "Beschreiben Sie, was auf dem Bild sein soll, oder wählen Sie eines.",
    },
    "too_long": {
        "en": "These are {count} characters; at most {most} can be read.",
        "de": "Das sind {count} Zeichen; höchstens {most} können gelesen werden.",
    },
    "too_many_minus": {
        "en": "At most {most} things can be left out, and these are {count}.",
        "de": "Höchstens {most} Dinge können ausgelassen werden, und das sind {count}.",
    },
    "too_large_picture": {
        "en": "The picture has {megabytes} MB; at most 10 MB can be sent. Choose a smaller one.",
        "de": "Das Bild hat {megabytes} MB; höchstens 10 MB können gesendet werden. "
        "Wählen Sie ein kleineres.",
    },
    # -- settings
    "language": {"en": "Language", "de": "Sprache"},
    "brightness": {"en": "Light or dark", "de": "Hell oder dunkel"},
    "system": {"en": "As the device", "de": "Wie das Gerät"},
    "light": {"en": "Light", "de": "Hell"},
    "dark": {"en": "Dark", "de": "Dunkel"},
    # -- to begin with
    "welcome": {
        "en": "Describe a picture. It is found by what it shows.",
        "de": "Beschreiben Sie ein Bild. Gefunden wird es durch das, was es zeigt.",
    },
    "examples": {"en": "To begin with", "de": "Zum Anfangen"},
    "recent": {"en": "Your last searches", "de": "Ihre letzten Suchen"},
    "forget_recent": {"en": "Forget them", "de": "Vergessen"},
    # -- names of searches and places
    "and": {"en": " and ", "de": " und "},
    "or": {"en": " or ", "de": " oder "},
    "like_this": {"en": "like this picture", "de": "wie dieses Bild"},
    "like_yours": {"en": "like your picture", "de": "wie Ihr Bild"},
    "but_without": {"en": "{name} without {things}", "de": "{name} ohne {things}"},
    "of_collection": {"en": "your {name}", "de": "Ihrer Sammlung {name}"},
    "of_everything": {"en": "everything stored so far", "de": "allem bisher Gespeicherten"},
    # -- while it runs
    "searching": {"en": "Searching …", "de": "Die Suche läuft …"},
    "fetching": {
        "en": "Fetching pictures for {place} …",
        "de": "Bilder zu {place} werden geholt …",
    },
    "looking": {
        "en": "Looking at the pictures for {place} …",
        "de": "Bilder zu {place} werden angesehen …",
    },
    "ready": {"en": "{ready} of {all} ready", "de": "{ready} von {all} fertig"},
    # -- what came of it
    "one_picture": {"en": "1 picture", "de": "1 Bild"},
    "pictures": {"en": "{count} pictures", "de": "{count} Bilder"},
    "summary": {
        "en": "{shown} of {compared} pictures from {place}",
        "de": "{shown} von {compared} Bildern aus {place}",
    },
    "summary_alone": {"en": "{pictures} from {place}", "de": "{pictures} aus {place}"},
    "strong": {"en": "Strong match", "de": "Passt sehr gut"},
    "fair": {"en": "Fair match", "de": "Passt gut"},
    "weak": {"en": "Weak match", "de": "Passt wenig"},
    "none": {"en": "No match", "de": "Passt nicht"},
    "no_match": {"en": "Nothing here shows that.", "de": "Nichts hier zeigt das."},
    "nearest": {"en": "The nearest are these.", "de": "Am nächsten kommen diese."},
    "filtered_out": {"en": "No picture is left", "de": "Kein Bild bleibt übrig"},
    "filtered_out_text": {
        "en": "The filters leave out all of them. Take one off.",
        "de": "Die Filter lassen alle aus. Nehmen Sie einen weg.",
    },
    "nothing_stored": {"en": "Nothing is stored yet", "de": "Noch ist nichts gespeichert"},
    "nothing_stored_text": {
        "en": "Search with a keyword first; its pictures are kept.",
        "de": "Suchen Sie zuerst mit einem Stichwort; seine Bilder werden behalten.",
    },
    "no_pictures": {"en": "No pictures for {place}", "de": "Keine Bilder zu {place}"},
    "no_pictures_text": {
        "en": "Try another keyword: a single, general word finds the most.",
        "de": "Nehmen Sie ein anderes Stichwort: Ein allgemeines Wort findet am meisten.",
    },
    "pool_failed": {
        "en": "The pictures could not all be fetched",
        "de": "Nicht alle Bilder konnten geholt werden",
    },
    "pool_failed_text": {
        "en": "What was ready by then is shown.",
        "de": "Gezeigt wird, was bis dahin fertig war.",
    },
    "partly_covered": {
        "en": "Some stored pictures wait for a new model: {percent} % of all were compared.",
        "de": "Manche gespeicherten Bilder warten auf ein neues Modell: "
        "{percent} % von allen wurden verglichen.",
    },
    "cut": {
        "en": "The sentence is longer than the model reads; its end was left out.",
        "de": "Der Satz ist länger, als das Modell liest; sein Ende blieb unberücksichtigt.",
    },
    "lost_picture": {"en": "The picture is not here", "de": "Das Bild ist nicht hier"},
    "lost_picture_text": {
        "en": "This search is by a picture, which an address cannot hold. Choose it again.",
        "de": "Diese Suche geht von einem Bild aus, das in keiner Adresse steht. "
        "Wählen Sie es noch einmal.",
    },
    "stopped": {"en": "Stopped", "de": "Angehalten"},
    "stopped_text": {
        "en": "What had come by then is shown.",
        "de": "Gezeigt wird, was bis dahin gekommen war.",
    },
    "go_on": {"en": "Go on", "de": "Fortsetzen"},
    "try_again": {"en": "Try again", "de": "Noch einmal"},
    "show_more": {"en": "Show more", "de": "Mehr zeigen"},
    # -- one picture
    "picture_of": {"en": "Picture {at} of {count}", "de": "Bild {at} von {count}"},
    "undescribed": {"en": "Picture without a description", "de": "Bild ohne Beschreibung"},
    "missing": {"en": "Picture not available", "de": "Bild nicht verfügbar"},
    "fact_user": {"en": "Picture by", "de": "Bild von"},
    "fact_source": {"en": "Source", "de": "Quelle"},
    "fact_licence": {"en": "Licence", "de": "Lizenz"},
    "fact_shows": {"en": "Shows", "de": "Zeigt"},
    "fact_size": {"en": "Size", "de": "Größe"},
    "fact_file": {"en": "File", "de": "Datei"},
    "fact_albums": {"en": "Album", "de": "Album"},
    "fact_camera": {"en": "Camera", "de": "Kamera"},
    "fact_year": {"en": "Year", "de": "Jahr"},
    "size": {"en": "{width} × {height} pixels", "de": "{width} × {height} Pixel"},
    "before": {"en": "Previous picture", "de": "Voriges Bild"},
    "after": {"en": "Next picture", "de": "Nächstes Bild"},
    "close": {"en": "Close", "de": "Schließen"},
    "original": {"en": "Original", "de": "Original"},
    "licence_text": {"en": "Licence text", "de": "Lizenztext"},
    "more_like_this": {"en": "More like this", "de": "Mehr wie dieses"},
    # -- filters
    "any_collection": {"en": "Any collection", "de": "Jede Sammlung"},
    "any_folder": {"en": "Any folder", "de": "Jeder Ordner"},
    "any_album": {"en": "Any album", "de": "Jedes Album"},
    "any_camera": {"en": "Any camera", "de": "Jede Kamera"},
    "any_year": {"en": "Any year", "de": "Jedes Jahr"},
    "any_month": {"en": "Any month", "de": "Jeder Monat"},
    "any_orientation": {"en": "Any shape", "de": "Jede Form"},
    "any_colour": {"en": "Any colour", "de": "Jede Farbe"},
    "any_tag": {"en": "Any tag", "de": "Jedes Schlagwort"},
    "any_user": {"en": "By anyone", "de": "Von allen"},
    "any_source": {"en": "Any source", "de": "Jede Quelle"},
    "horizontal": {"en": "Landscape", "de": "Querformat"},
    "vertical": {"en": "Portrait", "de": "Hochformat"},
    "square": {"en": "Square", "de": "Quadrat"},
    "red": {"en": "red", "de": "rot"},
    "orange": {"en": "orange", "de": "orange"},
    "yellow": {"en": "yellow", "de": "gelb"},
    "green": {"en": "green", "de": "grün"},
    "turquoise": {"en": "turquoise", "de": "türkis"},
    "blue": {"en": "blue", "de": "blau"},
    "lilac": {"en": "lilac", "de": "lila"},
    "pink": {"en": "pink", "de": "rosa"},
    "white": {"en": "white", "de": "weiß"},
    "gray": {"en": "gray", "de": "grau"},
    "black": {"en": "black", "de": "schwarz"},
    "brown": {"en": "brown", "de": "braun"},
    "grayscale": {"en": "black and white", "de": "schwarzweiß"},
    # -- what goes wrong
    "retry_in": {"en": "Trying again in {seconds} s.", "de": "Neuer Versuch in {seconds} s."},
    "come_back": {
        "en": "Come back in about {minutes} minutes.",
        "de": "Kommen Sie in etwa {minutes} Minuten wieder.",
    },
    "unreached": {"en": "No connection to the server", "de": "Keine Verbindung zum Server"},
    "unreached_text": {
        "en": "Check your network, or whether the server is running.",
        "de": "Prüfen Sie Ihr Netz, oder ob der Server läuft.",
    },
    "silent": {"en": "No answer from the server", "de": "Keine Antwort vom Server"},
    "silent_text": {
        "en": "It was silent for too long.",
        "de": "Er schwieg zu lange.",
    },
    "refused": {"en": "This search was not accepted", "de": "Diese Suche wurde nicht angenommen"},
    "refused_text": {
        "en": "Change it and send it again.",
        "de": "Ändern Sie sie, und senden Sie sie noch einmal.",
    },
    "needs_key": {
        "en": "This server asks for a key",
        "de": "Dieser Server verlangt einen Schlüssel",
    },
    "needs_key_text": {
        "en": "Give the key that its owner gave you.",
        "de": "Geben Sie den Schlüssel an, den Sie von seinem Besitzer haben.",
    },
    "refused_key": {
        "en": "This server did not take the key",
        "de": "Dieser Server nimmt den Schlüssel nicht an",
    },
    "refused_key_text": {
        "en": "Check it, and give it once more.",
        "de": "Prüfen Sie ihn, und geben Sie ihn noch einmal an.",
    },
    "key": {"en": "Key", "de": "Schlüssel"},
    "give_key": {"en": "Give the key", "de": "Schlüssel angeben"},
    "needs_login": {
        "en": "This server asks for a login",
        "de": "Dieser Server verlangt eine Anmeldung",
    },
    "needs_login_text": {
        "en": "It is behind a login that this app does not have. "
        "Ask whoever runs it to let the app in.",
        "de": "Er liegt hinter einer Anmeldung, die diese App nicht hat. "
        "Bitten Sie seinen Betreiber, die App einzulassen.",
    },
    "not_found": {"en": "The search was not found", "de": "Die Suche wurde nicht gefunden"},
    "not_found_text": {
        "en": "There is no search where this app asks. The server may be of another version.",
        "de": "Wo diese App danach fragt, gibt es keine Suche: "
        "Der Server hat vielleicht eine andere Version.",
    },
    "too_much": {"en": "That is too much at once", "de": "Das ist zu viel auf einmal"},
    "too_much_text": {
        "en": "Shorten the text, or take a smaller picture.",
        "de": "Kürzen Sie den Text, oder nehmen Sie ein kleineres Bild.",
    },
    "too_often": {"en": "Too many searches just now", "de": "Im Augenblick zu viele Suchen"},
    "too_often_text": {
        "en": "The server asks for a short break.",
        "de": "Der Server bittet um eine kurze Pause.",
    },
    "broken": {"en": "Something broke on the server", "de": "Auf dem Server ging etwas kaputt"},
    "broken_text": {
        "en": "Your search is fine. Try it again in a moment.",
        "de": "An Ihrer Suche liegt es nicht. Versuchen Sie es gleich noch einmal.",
    },
    "unavailable": {
        "en": "The search is not available right now",
        "de": "Die Suche ist gerade nicht verfügbar",
    },
    "unavailable_text": {
        "en": "The server is starting or too busy.",
        "de": "Der Server startet oder ist zu beschäftigt.",
    },
    "too_slow": {"en": "The search took too long", "de": "Die Suche dauerte zu lange"},
    "too_slow_text": {
        "en": "The server gave up waiting. A second try is often faster.",
        "de": "Der Server wartete nicht länger. Ein zweiter Versuch ist oft schneller.",
    },
    "older": {
        "en": "This server is of another version",
        "de": "Dieser Server hat eine andere Version",
    },
    "older_text": {
        "en": "It took no notice of a part of this search, so that its pictures would be the wrong "
        "ones. Ask whoever runs it to bring it up to date.",
        "de": "Er hat einen Teil dieser Suche nicht beachtet, und seine Bilder wären die falschen. "
        "Bitten Sie seinen Betreiber, ihn zu erneuern.",
    },
    "senseless": {
        "en": "The server's answer makes no sense",
        "de": "Die Antwort des Servers ergibt keinen Sinn",
    },
    "senseless_text": {
        "en": "Something that is not a search answer came back (HTTP {status}). "
        "The server may be of another version, or another one than meant.",
        "de": "Es kam etwas zurück, das keine Antwort auf eine Suche ist (HTTP {status}). "
        "Der Server hat vielleicht eine andere Version oder ist nicht der gemeinte.",
    },
    "unfinished": {"en": "Still not finished", "de": "Noch nicht fertig"},
    "unfinished_text": {
        "en": "After {minutes} minutes there is no whole answer. Try again to go on from here.",
        "de": "Nach {minutes} Minuten ist keine vollständige Antwort da. "
        "Ein neuer Versuch geht von hier aus weiter.",
    },
    "broken_here": {"en": "Something broke in this app", "de": "In dieser App ging etwas kaputt"},
    "broken_here_text": {
        "en": "Your search is still there. Try it again.",
        "de": "Ihre Suche ist noch da. Versuchen Sie es noch einmal.",
    },
}

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_FROM_THE_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_QUOTES = {"en": "“”", "de": "„“"}
_THOUSANDS = {"en": ",", "de": "."}


def language_of(wanted: str | None) -> str:
    """Return the app's language for a tag such as `de-AT`; English where it does not speak that."""
    language = re.split("[-_.]", (wanted or "").lower())[0]
    return language if language in LANGUAGES else DEFAULT


def speaker(language: str) -> Say:
    """Return what says the texts of *language*, one of LANGUAGES; ints are grouped by thousands."""

    def say(key: str, **values: Any) -> str:
        spelt = {
            name: number(v, language) if isinstance(v, int) else v for name, v in values.items()
        }
        return TEXTS[key][language].format(**spelt)

    return say


def number(count: int, language: str) -> str:
    """Return 12345 as `12,345`, or as `12.345` in German."""
    return f"{count:,}".replace(",", _THOUSANDS[language])


def pictures(count: int, say: Say) -> str:
    """Return how many pictures *count* are, in words."""
    return say("one_picture") if count == 1 else say("pictures", count=count)


def quoted(text: str, language: str) -> str:
    """Return *text* in quotation marks; its direction does not turn the words around it."""
    before, after = tuple(_QUOTES[language])
    isolated = _FIRST_STRONG_ISOLATE + text + _POP_ISOLATE if _FROM_THE_RIGHT.search(text) else text
    return f"{before}{isolated}{after}"


def month_name(month: str, language: str) -> str:
    """Return the name of a month, given by its number from 1 on; anything else as it is."""
    names = _MONTHS[language].split()
    return names[int(month) - 1] if month.isdecimal() and 1 <= int(month) <= 12 else month
