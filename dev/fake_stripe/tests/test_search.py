"""PaymentIntents are found by their metadata, status and amount."""

import pytest
import stripe


def found(intents, query):
    return [intent.id for intent in intents.search({"query": query}).data]


def test_intent_is_found_by_its_order(new_intent, intents):
    mine, other = new_intent(metadata={"order_id": "a"}), new_intent(metadata={"order_id": "b"})

    assert found(intents, "metadata['order_id']:'a'") == [mine.id]
    assert found(intents, 'metadata["order_id"]:"a" OR metadata["order_id"]:"b"') == [other.id, mine.id]


def test_clauses_narrow_each_other(new_intent, intents):
    intent = new_intent(metadata={"order_id": "a", "seat": "A1"})
    intents.cancel(new_intent(metadata={"order_id": "a"}).id)

    assert found(intents, "metadata['order_id']:'a' AND status:'requires_payment_method' AND amount>1000") == [
        intent.id
    ]
    assert found(intents, "metadata['order_id']:'a' AND -status:'canceled'") == [intent.id]
    assert found(intents, "metadata['seat']:'A1'") == [intent.id]
    assert found(intents, "-metadata['seat']:null") == [intent.id]


def test_each_page_continues_the_one_before(new_intent, intents):
    ids = [new_intent().id for _ in range(3)]
    query = "metadata['order_id']:'order-1'"

    first = intents.search({"query": query, "limit": 2})
    rest = intents.search({"query": query, "limit": 2, "page": first.next_page})

    assert [intent.id for intent in (*first.data, *rest.data)] == ids[::-1]
    assert rest.next_page is None


@pytest.mark.parametrize(
    "query", ["order", "metadata['a']:'b' AND amount>1 OR amount<1", "amount:'1'; drop table objects"]
)
def test_query_outside_stripes_language_is_refused(intents, query):
    with pytest.raises(stripe.InvalidRequestError):
        intents.search({"query": query})


def test_search_finds_a_new_intent_only_after_its_lag_and_the_list_at_once(new_intent, intents, fake):
    known = new_intent()
    fake.control("search", lag=60)
    new = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})

    before = found(intents, "metadata['order_id']:'order-1'")
    listed = [intent.id for intent in intents.list().data]
    fake.control("clock", advance=60)

    assert (before, listed) == ([known.id], [new.id, known.id])
    assert found(intents, "metadata['order_id']:'order-1'") == [new.id, known.id]
