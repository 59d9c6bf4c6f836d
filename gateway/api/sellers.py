"""Sellers: what buyers may know of them."""

from flask import Blueprint, Response, jsonify

from gateway import ids, sellers
from gateway.schemas import SellerResponse

RESPONSE = SellerResponse()

bp = Blueprint("api_sellers", __name__, url_prefix="/api/sellers")


@bp.get("/<seller_id>")
def get(seller_id: str) -> Response:
    """Show what buyers may know of a seller."""
    seller = sellers.find(ids.user(seller_id))
    return jsonify(RESPONSE.dump({"id": seller_id, **seller._asdict()}))
