"""States of a market that operators order through the log.

Until now a market was only open or halted, and no halt of an operator was on the log: so every
market begins with the ordered state open, and one that is halted now stays so until a change is
ordered.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

STATES = ("open", "post_only", "cancel_only", "halted")
CHOICES = [
    ("open", "Open"),
    ("post_only", "Post Only"),
    ("cancel_only", "Cancel Only"),
    ("halted", "Halted"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0007_market_order_sizes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint("market", "market_state_known"),
        migrations.AlterField(
            "market", "state", models.CharField(choices=CHOICES, default="open", max_length=11)
        ),
        migrations.AddField(
            "market",
            "ordered_state",
            models.CharField(
                choices=CHOICES,
                db_default="open",
                default="open",
                help_text="What operators have ordered last, as settled; a stopped settlement halts "
                "it all the same.",
                max_length=11,
            ),
        ),
        migrations.AddField(
            "market",
            "state_change_id",
            models.PositiveBigIntegerField(
                db_default=0, default=0, help_text="The change that ordered it; 0: none has yet."
            ),
        ),
        migrations.AddConstraint(
            "market",
            models.CheckConstraint(
                condition=Q(state__in=STATES, ordered_state__in=STATES), name="market_state_known"
            ),
        ),
        migrations.CreateModel(
            name="MarketChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("state", models.CharField(choices=CHOICES, max_length=11)),
                ("reason", models.CharField(help_text="Why; shown to everybody.", max_length=500)),
                ("requested_at", models.DateTimeField(auto_now_add=True)),
                ("relayed_at", models.DateTimeField(null=True)),
                ("epoch", models.PositiveIntegerField(null=True)),
                ("offset", models.BigIntegerField(null=True)),
                ("applied_at", models.DateTimeField(null=True)),
                (
                    "actor",
                    models.ForeignKey(
                        help_text="Who ordered it; nobody: somebody at the command line.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "market",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="changes",
                        to="orders.market",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=Q(applied_at__isnull=True),
                        fields=["id"],
                        name="market_change_waiting",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(state__in=STATES), name="market_change_state_known"
                    ),
                    models.CheckConstraint(
                        condition=Q(reason__regex=r"\S"), name="market_change_says_why"
                    ),
                    models.CheckConstraint(
                        condition=Q(
                            epoch__isnull=True, offset__isnull=True, applied_at__isnull=True
                        )
                        | Q(epoch__isnull=False, offset__isnull=False, applied_at__isnull=False),
                        name="market_change_applied_whole",
                    ),
                ],
            },
        ),
    ]
