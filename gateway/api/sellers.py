"""Sellers: their public profiles."""

from flask import Blueprint, Response, jsonify

from gateway import ids, sellers
from gateway.schemas import SellerResponse

RESPONSE = SellerResponse()

bp = Blueprint("api_sellers", __name__, url_prefix="/api/sellers")


@bp.get("/<seller_id>")
def get(seller_id: str) -> Response:
    """Show the public profile of a seller."""
    seller = sellers.find(ids.user(seller_id))
    return jsonify(RESPONSE.dump({"id": seller_id, **seller._asdict()}))
