"""A user's API keys: make one, list them, revoke one. For people who signed in."""

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access import keys
from exchange.access.permissions import SignedInPerson
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import NameField, PlainTextField
from exchange.models import ApiKey, User

SCOPES = ("read", "trade")
EXAMPLE_KEY = {"name": "my bot", "scopes": ["read", "trade"], "allowed_networks": []}


class ApiKeyInput(serializers.Serializer[Any]):
    """What a new key is for."""

    name = PlainTextField(
        r"^[^\x00-\x1f\x7f]+\Z",
        max_length=50,
        trim_whitespace=False,
        help_text="For you, to tell your keys apart.",
        error_messages={"invalid": "Give a name without control characters."},
    )
    scopes = serializers.ListField(
        child=NameField(SCOPES),
        min_length=1,
        max_length=len(SCOPES),
        help_text="read: look at orders and balances. trade: place and cancel orders.",
    )
    allowed_networks = serializers.ListField(
        child=serializers.CharField(max_length=49),
        max_length=ApiKey.MAX_NETWORKS,
        default=list,
        help_text="CIDR, for example 203.0.113.0/24: from where the key may be used. Empty: from "
        "anywhere.",
    )

    def get_initial(self) -> Any:
        """Return what the browsable API's form begins with."""
        return super().get_initial() if hasattr(self, "initial_data") else EXAMPLE_KEY


class ApiKeyOutput(serializers.ModelSerializer[ApiKey]):
    """A key, without its secret."""

    key = serializers.CharField(source="public_id", help_text="For the header X-Api-Key.")
    scopes = serializers.SerializerMethodField()

    class Meta:
        model = ApiKey
        fields = [
            "id", "key", "name", "scopes", "allowed_networks", "created_at", "last_used_at",
            "revoked_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_scopes(self, key: ApiKey) -> list[str]:
        return key.scopes


class NewApiKeyOutput(ApiKeyOutput):
    """A key that was just made, with its secret."""

    secret = serializers.SerializerMethodField(help_text="Shown this once. Keep it safe.")

    class Meta(ApiKeyOutput.Meta):
        fields = [*ApiKeyOutput.Meta.fields, "secret"]
        read_only_fields = fields

    def get_secret(self, key: ApiKey) -> str:  # noqa: ARG002
        return str(self.context["secret"])


class ApiKeyListView(GenericAPIView[ApiKey]):
    """Make an API key, or list yours, the newest first."""

    serializer_class = ApiKeyInput
    permission_classes = (SignedInPerson,)
    queryset = ApiKey.objects.none()

    @extend_schema(
        summary="List your API keys",
        responses={200: ApiKeyOutput(many=True), 400: ErrorBody, 503: ErrorBody, **LOCKED},
        tags=["API keys"],
    )
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(keys.list_api_keys(owner_id=_user(request).pk))
        return self.get_paginated_response(ApiKeyOutput(page, many=True).data)

    @extend_schema(
        summary="Make an API key",
        description="The answer has the secret, for the only time. A program signs its requests "
        "with it.",
        request=ApiKeyInput,
        responses={
            201: NewApiKeyOutput,
            400: ErrorBody,
            413: ErrorBody,
            415: ErrorBody,
            422: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["API keys"],
    )
    def post(self, request: Request) -> Response:
        wanted = ApiKeyInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        made = keys.create_api_key(owner_id=_user(request).pk, **wanted.validated_data)
        answer = NewApiKeyOutput(made.key, context={"secret": made.secret})
        return Response(answer.data, status=201, headers={"Cache-Control": "no-store"})


class ApiKeyDetailView(GenericAPIView[ApiKey]):
    """Revoke an API key."""

    serializer_class = ApiKeyOutput
    permission_classes = (SignedInPerson,)
    queryset = ApiKey.objects.none()

    @extend_schema(
        summary="Revoke an API key",
        description="From the answer on, no request is accepted with it.",
        parameters=[OpenApiParameter("api_key_id", OpenApiTypes.INT64, OpenApiParameter.PATH)],
        request=None,
        responses={200: ApiKeyOutput, 404: ErrorBody, 503: ErrorBody, **LOCKED},
        tags=["API keys"],
    )
    def delete(self, request: Request, api_key_id: int) -> Response:
        user = _user(request)
        key = keys.revoke_api_key(api_key_id=api_key_id, owner_id=user.pk, actor_id=user.pk)
        return Response(ApiKeyOutput(key).data)


def _user(request: Request) -> User:
    return cast(User, request.user)
