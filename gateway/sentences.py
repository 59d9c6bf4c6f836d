"""Translating messages of the services, and of our schemas, into the visitor's language.

Services write English, for the API. Pages translate a message as a whole, or else by sentence; sentences with values
match the patterns below. A sentence without a translation stays English.
"""

import re
from functools import lru_cache
from gettext import NullTranslations

from babel import Locale
from babel.numbers import get_decimal_symbol, get_group_symbol

from gateway.languages import ENGLISH, N_, catalogue, language

WITH_VALUES = (
    N_("Choose a password of {least} to {most} characters."),
    N_("Choose another password: {reason}."),
    N_("Enter a price from {lowest} to {highest}, {decimals}."),
    N_("Enter an email address of at most {most} characters."),
    N_("Enter at most {maximum} characters."),
    N_("Enter the highest price like {example}."),
    N_("Enter the lowest price like {example}."),
    N_("Enter the {name} as text."),
    N_("Search for at most {most} characters."),
    N_("The limit must be from 1 to {most}."),
    N_("The {name} has half of a character in it; enter it again."),
    N_("The {name} must be one line, without tabs and other control characters."),
    N_("The {name} must have at most {most} characters."),
    N_("The {name} must have something to see in it."),
    N_("The {name} must not have characters in it that change the direction of text."),
    N_("The {name} must not have more than {most} accents on one letter."),
    N_("Try again in {minutes} minutes."),
    N_("You have {count} passkeys. Remove one that you no longer use first."),
    N_("You have {count} unpaid reservation."),
    N_("You have {count} unpaid reservations."),
    N_("You reserved {count} ticket within an hour and did not pay."),
    N_("You reserved {count} tickets within an hour and did not pay."),
)
FIXED = (
    # placeholders of values
    *(N_("title of the event"), N_("venue"), N_("city"), N_("section"), N_("row"), N_("seat"), N_("name")),
    *(N_("without decimals"), N_("with at most two decimals")),
    N_("with at most three decimals, the third of them 0"),
    *(N_("your email and its parts are easy to guess"), N_("the name of this site is easy to guess")),
    *(N_("this one is easy to guess"), N_("a word by itself is easy to guess"), N_("recent years are easy to guess")),
    *(N_("straight rows of keys are easy to guess"), N_("short keyboard patterns are easy to guess")),
    *(N_("dates are often easy to guess"), N_("common names and surnames are easy to guess")),
    *(N_("names and surnames by themselves are easy to guess"), N_('repeats like "aaa" are easy to guess')),
    N_('repeats like "abcabcabc" are only slightly harder to guess than "abc"'),
    N_('sequences like "abc" or "6543" are easy to guess'),
    *(N_("this is a top-10 common password"), N_("this is a top-100 common password")),
    *(N_("this is a very common password"), N_("this is similar to a commonly used password")),
    # auth
    N_("A few unrelated words make a good one."),
    N_("Enter an email address, like ana@example.com."),
    N_("Enter a name for the passkey, such as that of the device."),
    N_("Do not put an address or a number to call in your name."),
    N_("Choose a name that nobody takes for that of this site."),
    N_("Enter the newest one."),
    N_("Enter the newest one, or a recovery code."),
    N_("Enter your current password."),
    N_("Enter your email and your password again."),
    N_("Enter a code of your authenticator app, or a recovery code."),
    N_("Signing in took too long."),
    N_("That took too long."),
    N_("The password has half of a character in it; enter it again."),
    N_("This code is wrong, or was used before."),
    N_("This is not the code that the app shows now."),
    N_("This is the passkey of another account."),
    N_("This passkey is not known here."),
    N_("This passkey is not known here: it was removed, or belongs to another site."),
    N_("This passkey was not accepted."),
    N_("Try again."),
    N_("Use a recovery code or a passkey, or contact us."),
    N_("We cannot check the codes of your app now."),
    N_("Your email is no password; choose another."),
    # tickets and orders
    N_("Choose one of the categories."),
    N_("Enter a start that is not in the past."),
    N_("Enter a start within the next ten years."),
    N_("Choose a time zone, like Europe/Berlin."),
    N_("Enter the title of the event."),
    N_("Enter the seat as its section, row and seat."),
    N_("Enter when it starts as a time in UTC, like 2030-01-31T19:30:00Z."),
    N_("Pay for one or cancel one before you reserve another."),
    N_("Try again in a minute."),
    # payments
    N_("The signature is not valid."),
    N_("This webhook is dated more than five minutes before or after now."),
    N_("This event is of Stripe's other mode, live or test."),
    N_("This is not an event of Stripe's."),
    N_("Ask your bank, or try another card."),
    N_("Check it, or try another card."),
    N_("Look at your orders, then try again."),
    N_("This order cannot be paid by card."),
    N_("This price is too high to be paid by card."),
    N_("This price is too low to be paid by card."),
    N_("Only test cards work here, and no money moves."),
    N_("This is a test card, which buys nothing here."),
    N_("This order has ended; to try another card, reserve the ticket again."),
    N_("Try a test card."),
    N_("Try again and follow its instructions."),
    N_("Try again in a moment, or another card."),
    N_("Try again, or use another card."),
    N_("Try another card."),
    N_("Your bank could not process the payment just now."),
    N_("Your bank did not confirm it is you."),
    N_("Your bank knows another address for this card."),
    N_("Your bank takes this for a payment it has just had."),
    N_("Your bank wants you to confirm the payment."),
    N_("Your card cannot pay for this kind of purchase."),
    N_("Your card cannot pay in this currency."),
    N_("Your card cannot pay this amount."),
    N_("Your card has expired."),
    N_("Your card has insufficient funds."),
    N_("Your card is over its limit."),
    N_("Your card was declined."),
    N_("Your card's expiry date is incorrect."),
    N_("Your card's number is incorrect."),
    N_("Your card's security code is incorrect."),
)
"""The sentences of services that have no values in them; `tests/contract/test_sentences.py` looks for others."""
NUMBER = re.compile(r"(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", re.ASCII)
"""A number as services write it; 19,99 is one that a page has written in the visitor's locale."""
BETWEEN_SENTENCES = re.compile(r"(?<=[.!?]) (?=[A-Z])")


def _pattern(form: str) -> re.Pattern[str]:
    """Return what matches a sentence with values, none of which goes on into the next sentence."""
    value = rf"(?P<\1>(?:(?!{BETWEEN_SENTENCES.pattern}).)+?)"
    return re.compile(re.sub(r"\\{(\w+)\\}", value, re.escape(form)))


FORMS = tuple((form, _pattern(form)) for form in WITH_VALUES)


def translated(english: str) -> str:
    """Translate one or several English sentences into the visitor's language."""
    language_code = language()
    return english if language_code == ENGLISH else _translated(english, language_code)


@lru_cache(1024)
def _translated(english: str, language_code: str) -> str:
    translations = catalogue(language_code)
    found = _find(english, translations, language_code)
    return found or " ".join(
        _find(each, translations, language_code) or each for each in BETWEEN_SENTENCES.split(english)
    )


def _find(english: str, translations: NullTranslations, language_code: str) -> str | None:
    if (found := translations.gettext(english)) != english:
        return found
    for form, pattern in FORMS:
        if match := pattern.fullmatch(english):
            values = {name: _value(value, translations, language_code) for name, value in match.groupdict().items()}
            return translations.gettext(form).format(**values)
    return None


def _value(english: str, translations: NullTranslations, language_code: str) -> str:
    if not NUMBER.fullmatch(english):
        return translations.gettext(english)
    locale = Locale(language_code)
    return english.translate(str.maketrans(",.", get_group_symbol(locale) + get_decimal_symbol(locale)))
