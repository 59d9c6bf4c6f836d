"""Limits and choices that the services enforce and the gateway shows in its forms and its API's description.

Domains import this file, so it imports nothing but the standard library.
"""

CATEGORIES = ("movie", "concert", "match", "show", "stage", "other")
LISTED = ("on_sale", "reserved", "unsold", "sold", "all")
"""The statuses by which tickets can be listed publicly; unsold: on sale or reserved."""
MAXIMUM_PRICE_CENTS = 99_999_999
"""The most that Stripe charges, in any currency's minor unit; for the least see `currencies`."""
MAXIMUM_TITLE = MAXIMUM_VENUE = 200
MAXIMUM_CITY = 100
SEAT_PARTS = ("section", "row", "seat")
MAXIMUM_SEAT = 50
"""Characters of each of these."""
MAXIMUM_SEARCH = 200
MAXIMUM_PAGE = 100
MAXIMUM_VERSION = 2**31
EXTENSION_SECONDS, EXTENDED_WITHIN_SECONDS = 5 * 60, 2 * 60
"""By how much a buyer may extend the time to pay, once, and how long before it is over."""
MAXIMUM_KEY = 255
"""Characters of an Idempotency-Key."""
MAXIMUM_REFUSALS = 100
"""For how many requests at once the gateway asks whether they would be refused."""

MINIMUM_PASSWORD, MAXIMUM_PASSWORD = 8, 64
MAXIMUM_CURRENT_PASSWORD = 1024
"""Characters of what is entered as the current password, which may be anything."""
MAXIMUM_PASSKEYS = 10
MAXIMUM_PASSKEY_NAME = 50
MAXIMUM_PASSKEY_ID = 1364
"""Characters of an id of 1023 bytes, the longest (https://www.w3.org/TR/webauthn-3/#credential-id), in base64."""
MAXIMUM_ANSWER = 16384
"""Characters of a browser's answer with a passkey, as JSON."""
MAXIMUM_SESSIONS_NOTED = 100
"""How many uses of sessions the gateway reports to auth at once."""
MAXIMUM_SESSION_DETAIL = 256
"""Characters of the device or the address that a session is used from."""
MAXIMUM_ANNOUNCEMENT = 300
"""Characters of the banner on the site."""
MAXIMUM_NAME = 40
"""Characters of the name by which buyers know a seller."""
MAXIMUM_EMAIL = 254
"""The longest address that mail can be sent to (RFC 5321, section 4.5.3.1.3, less the brackets)."""
