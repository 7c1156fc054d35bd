from django.urls import path

from orders.api import OrderDetailView, OrderListView
from orders.batch_api import CancelBatchView, OrderBatchView

urlpatterns = [
    path("orders", OrderListView.as_view(), name="orders"),
    path("orders/batch", OrderBatchView.as_view(), name="order-batch"),
    path("orders/batch/cancel", CancelBatchView.as_view(), name="cancel-batch"),
    path("orders/<int:order_id>", OrderDetailView.as_view(), name="order"),
]
