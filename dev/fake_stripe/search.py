"""Stripe's search of PaymentIntents: `metadata['order_id']:'…'`, `status:'…'`, `amount>100`, joined by AND or OR."""

import re

from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import invalid
from dev.fake_stripe.objects import list_page
from dev.fake_stripe.state import Document

CLAUSE = re.compile(
    r"""\s*(?P<not>-)?(?:metadata\[(?P<q>["'])(?P<key>[^"']+)(?P=q)\]|(?P<field>amount|created|currency|status|customer))\s*"""
    r"""(?P<sign>:|>=|<=|>|<)\s*(?:(?P<v>["'])(?P<text>[^"']*)(?P=v)|(?P<number>\d+)|(?P<null>null))\s*"""
)
JOIN = re.compile(r"(?i)(and|or)\b|(?=\S)")
Clause = tuple[str, list[str | int]]


def search_intents(call: Call) -> Document:
    """Return PaymentIntents that match `query`, newest first; new ones only once the lag of the search is over."""
    condition, values = condition_of(call.params["query"])
    params = {"limit": call.params.get("limit", 10)}
    if "page" in call.params:
        params["starting_after"] = call.params["page"]
    where, bound = f"{condition} and ifnull(json_extract(body, '$._found_from'), 0) <= ?", (*values, call.state.now())
    found = list_page(call.state, "payment_intent", params, "/v1/payment_intents/search", where=where, values=bound)
    last = found["data"][-1]["id"] if found["has_more"] else None
    return found | {"object": "search_result", "next_page": last}


def condition_of(query: str) -> Clause:
    """Return a search query as an SQL condition and its values; refuse what is not in Stripe's query language."""
    conditions: list[str] = []
    values: list[str | int] = []
    joins: set[str] = set()
    position = 0
    while position < len(query):
        if conditions:
            join = JOIN.match(query, position)
            joins.add((join and join[1] or "and").lower())
            position = join.end() if join else position
        clause = CLAUSE.match(query, position)
        if clause is None:
            raise invalid(f"We were unable to parse your search query: {query}", param="query")
        condition, bound = _condition(clause)
        conditions.append(condition)
        values += bound
        position = clause.end()
    if not conditions or len(joins) > 1:
        raise invalid("A search query has clauses joined by AND or by OR, not by both.", param="query")
    return "(" + f" {''.join(joins) or 'and'} ".join(conditions) + ")", values


def _condition(clause: re.Match[str]) -> Clause:
    sign = "=" if clause["sign"] == ":" else clause["sign"]
    value: str | int = int(clause["number"]) if clause["number"] else clause["text"] or ""
    if clause["key"] == "order_id":
        column, bound = "json_extract(body, '$.metadata.order_id')", []  # spelt as its index
    elif clause["key"]:
        column, bound = "json_extract(body, ?)", [f'$.metadata."{clause["key"]}"']
    else:
        column, bound = f"json_extract(body, '$.{clause['field']}')", []
    if clause["null"]:
        return (f"{column} is {'not ' if clause['not'] else ''}null", [*bound])
    negation = "not " if clause["not"] else ""
    return f"{negation}ifnull({column} {sign} ?, 0)" if negation else f"{column} {sign} ?", [*bound, value]
