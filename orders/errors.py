"""Why an order is refused, or cannot be found: each reason with its own code."""

from exchange.api.errors import ClientError


class UnknownMarketError(ClientError):
    code = "unknown_market"
    field = "market"


class MarketHaltedError(ClientError):
    code = "market_halted"
    field = "market"


class MarketCancelOnlyError(MarketHaltedError):
    code = "market_cancel_only"


class MarketPostOnlyError(MarketHaltedError):
    code = "market_post_only"


class PriceNotPositiveError(ClientError):
    code = "price_not_positive"
    field = "price"


class QuantityNotPositiveError(ClientError):
    code = "quantity_not_positive"
    field = "quantity"


class PriceNotOnTickError(ClientError):
    code = "price_not_on_tick"
    field = "price"


class QuantityNotOnLotError(ClientError):
    code = "quantity_not_on_lot"
    field = "quantity"


class QuantityTooSmallError(ClientError):
    code = "quantity_too_small"
    field = "quantity"


class QuantityTooLargeError(ClientError):
    code = "quantity_too_large"
    field = "quantity"


class NotionalTooSmallError(ClientError):
    code = "notional_too_small"
    field = "quantity"


class OrderTooLargeError(ClientError):
    code = "order_too_large"
    field = "quantity"


class PriceOutsideBandError(ClientError):
    code = "price_outside_band"
    field = "price"


class MarketOrderHasPriceError(ClientError):
    code = "market_order_has_price"
    field = "price"


class MarketOrderNeedsIocError(ClientError):
    code = "market_order_needs_ioc"
    field = "time_in_force"


class NoPriceBandError(ClientError):
    code = "no_price_band"
    field = "type"


class NoReferencePriceError(ClientError):
    code = "no_reference_price"
    field = "type"


class QuoteAmountNeedsMarketOrderError(ClientError):
    code = "quote_amount_needs_market_order"
    field = "quote_amount"


class QuoteAmountNeedsBuyError(ClientError):
    code = "quote_amount_needs_buy"
    field = "quote_amount"


class QuoteAmountWithQuantityError(ClientError):
    code = "quote_amount_with_quantity"
    field = "quote_amount"


class QuoteAmountNotPositiveError(ClientError):
    code = "quote_amount_not_positive"
    field = "quote_amount"


class QuoteAmountNotOnStepError(ClientError):
    code = "quote_amount_not_on_step"
    field = "quote_amount"


class QuoteAmountTooSmallError(ClientError):
    code = "quote_amount_too_small"
    field = "quote_amount"


class PostOnlyNeedsGtcError(ClientError):
    code = "post_only_needs_gtc"
    field = "post_only"


class ExpiryMissingError(ClientError):
    code = "expires_at_missing"
    field = "expires_at"


class ExpiryNeedsGtdError(ClientError):
    code = "expires_at_needs_gtd"
    field = "expires_at"


class ExpiryNotInFutureError(ClientError):
    code = "expires_at_not_in_future"
    field = "expires_at"


class StopPriceMissingError(ClientError):
    code = "stop_price_missing"
    field = "stop_price"


class StopPriceNeedsStopError(ClientError):
    code = "stop_price_needs_stop"
    field = "stop_price"


class StopPriceNotPositiveError(ClientError):
    code = "stop_price_not_positive"
    field = "stop_price"


class StopPriceNotOnTickError(ClientError):
    code = "stop_price_not_on_tick"
    field = "stop_price"


class VisibleNotPositiveError(ClientError):
    code = "visible_quantity_not_positive"
    field = "visible_quantity"


class VisibleNotOnLotError(ClientError):
    code = "visible_quantity_not_on_lot"
    field = "visible_quantity"


class VisibleNotBelowQuantityError(ClientError):
    code = "visible_quantity_not_below_quantity"
    field = "visible_quantity"


class VisibleTooSmallError(ClientError):
    code = "visible_quantity_too_small"
    field = "visible_quantity"


class IcebergNeedsGtcError(ClientError):
    code = "iceberg_needs_gtc"
    field = "visible_quantity"


class TooManyStopsError(ClientError):
    code = "too_many_stop_orders"
    field = "stop_price"


class OrderNotFoundError(ClientError):
    code = "unknown_order"
    field = "order_id"
    http_status = 404


class OrderFinishedError(ClientError):
    code = "order_finished"
    field = "order_id"


class NothingToAmendError(ClientError):
    code = "nothing_to_amend"


class OrderNotAmendableError(ClientError):
    code = "order_not_amendable"
    field = "order_id"


class CancelRequestedError(ClientError):
    code = "cancel_requested"
    field = "order_id"


class AmendmentWaitingError(ClientError):
    code = "amendment_waiting"
    field = "order_id"


class QuantityAlreadyFilledError(ClientError):
    code = "quantity_already_filled"
    field = "quantity"
