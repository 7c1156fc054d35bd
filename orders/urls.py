from django.urls import path

from orders.api import OrderDetailView, OrderListView

urlpatterns = [
    path("orders", OrderListView.as_view(), name="orders"),
    path("orders/<int:order_id>", OrderDetailView.as_view(), name="order"),
]
