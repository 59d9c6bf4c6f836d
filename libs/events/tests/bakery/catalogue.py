"""Every event of the bakery."""

from marshmallow import EXCLUDE, Schema, fields, validate

from libs.events import Catalogue, Event


class Snapshot(Schema):
    class Meta:
        unknown = EXCLUDE

    id = fields.String(required=True, validate=validate.Length(min=1))
    version = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class FlourSnapshot(Snapshot):
    grain = fields.String(required=True)


class LoafSnapshot(Snapshot):
    grain = fields.String(required=True)
    baked_at = fields.AwareDateTime(required=True)


class LabelSnapshot(Snapshot):
    text = fields.String(required=True)


FlourDelivered = Event("FlourDelivered", "mill", ("oven",), FlourSnapshot())
LoafBaked = Event("LoafBaked", "oven", ("labels",), LoafSnapshot())
LoafSold = Event("LoafSold", "oven", ("labels",), LoafSnapshot())
LabelPrinted = Event("LabelPrinted", "labels", (), LabelSnapshot())
DoorOpened = Event("DoorOpened", "oven", (), Snapshot(), broadcast=("windows",))

CATALOGUE = Catalogue(FlourDelivered, LoafBaked, LoafSold, LabelPrinted, DoorOpened)
