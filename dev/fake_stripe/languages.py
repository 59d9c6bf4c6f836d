"""The texts of the simulation in browsers, in the language of the page around it, as Stripe.js has its own."""

from flask import Flask, request

GERMAN = {
    "3-D Secure (simulation)": "3-D Secure (Simulation)",
    "An error occurred while processing your card. Try again in a little bit.": (
        "Bei der Verarbeitung Ihrer Karte ist ein Fehler aufgetreten. Versuchen Sie es gleich noch einmal."
    ),
    "Authenticate a payment of %(amount)s %(currency)s?": "Eine Zahlung von %(amount)s %(currency)s freigeben?",
    "CVC": "CVC",
    "Card details (simulation)": "Kartendaten (Simulation)",
    "Card number": "Kartennummer",
    "Complete": "Freigeben",
    "Expiration date": "Ablaufdatum",
    "Fail": "Ablehnen",
    "MM / YY": "MM / JJ",
    "No money moves. Try 4242 4242 4242 4242, any future date, any code.": (
        "Es fließt kein Geld. Versuchen Sie 4242 4242 4242 4242, ein künftiges Datum und eine beliebige Prüfziffer."
    ),
    "Security code": "Prüfziffer",
    "Simulation.": "Simulation.",
    "Thank you. You can close this page.": "Danke. Sie können diese Seite schließen.",
    "This stands in for your bank's page; no money moves.": (
        "Diese Seite vertritt die Ihrer Bank; es fließt kein Geld."
    ),
    "We could not reach the payment service. Please try again.": (
        "Der Zahlungsdienst ist nicht erreichbar. Versuchen Sie es noch einmal."
    ),
    "Your card has expired.": "Ihre Karte ist abgelaufen.",
    "Your card has insufficient funds.": "Ihre Karte ist nicht ausreichend gedeckt.",
    "Your card number is incomplete.": "Die Kartennummer ist unvollständig.",
    "Your card number is incorrect.": "Die Kartennummer ist falsch.",
    "Your card number is invalid.": "Die Kartennummer ist ungültig.",
    "Your card was declined.": "Ihre Karte wurde abgelehnt.",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.": (
        "Ihre Karte wurde abgelehnt: zu viele Versuche, oder ihr Limit ist überschritten."
    ),
    "Your card was declined. This transaction requires authentication.": (
        "Ihre Karte wurde abgelehnt. Die Zahlung muss bei der Bank freigegeben werden."
    ),
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.": (
        "Ihre Karte wurde abgelehnt: Hier gelten nur Testkarten, siehe https://stripe.com/docs/testing."
    ),
    "Your card's expiration date is incomplete.": "Das Ablaufdatum ist unvollständig.",
    "Your card's expiration date is invalid.": "Das Ablaufdatum ist ungültig.",
    "Your card's expiration year is in the past.": "Das Ablaufjahr liegt in der Vergangenheit.",
    "Your card's security code is incomplete.": "Die Prüfziffer ist unvollständig.",
    "Your card's security code is incorrect.": "Die Prüfziffer ist falsch.",
}
LANGUAGES: dict[str, dict[str, str]] = {"en": {}, "de": GERMAN}


def register(app: Flask) -> None:
    """Give templates the texts in the language of a request."""
    app.jinja_env.globals |= {"say": say, "language": language, "words": words}


def language() -> str:
    """Return the language that Stripe.js was given as `locale`, else one that the browser asks for, else English."""
    asked = request.args.get("locale", "")
    return asked if asked in LANGUAGES else request.accept_languages.best_match(LANGUAGES, "en")


def words() -> dict[str, str]:
    """Return the translation of an English text for the language of a request."""
    return LANGUAGES[language()]


def say(text: str, **values: str) -> str:
    """Return a text in the language of a request, with `values` in place of %(name)s."""
    return words().get(text, text) % values
