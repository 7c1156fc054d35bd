from django.urls import path, register_converter

from orders.amending_api import AmendmentListView
from orders.api import OrderDetailView, OrderListView
from orders.batch_api import CancelBatchView, OrderBatchView
from orders.dead_man_api import DeadManSwitchView
from orders.fills_api import FillListView, OrderFillListView
from orders.naming import OrderNameConverter
from orders.trace_api import OrderTraceView

register_converter(OrderNameConverter, "order")

urlpatterns = [
    path("orders", OrderListView.as_view(), name="orders"),
    path("orders/batch", OrderBatchView.as_view(), name="order-batch"),
    path("orders/batch/cancel", CancelBatchView.as_view(), name="cancel-batch"),
    path("orders/<order:order_id>", OrderDetailView.as_view(), name="order"),
    path("orders/<order:order_id>/trace", OrderTraceView.as_view(), name="order-trace"),
    path(
        "orders/<order:order_id>/amendments", AmendmentListView.as_view(), name="order-amendments"
    ),
    path("orders/<order:order_id>/fills", OrderFillListView.as_view(), name="order-fills"),
    path("dead-man-switch", DeadManSwitchView.as_view(), name="dead-man-switch"),
    path("fills", FillListView.as_view(), name="fills"),
]
