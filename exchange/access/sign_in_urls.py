"""Where people sign in and out. Under the names by which the browsable API looks for them."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

app_name = "rest_framework"
urlpatterns = [
    path("login", LoginView.as_view(template_name="rest_framework/login.html"), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
]
