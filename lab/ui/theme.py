"""How the app looks: calm greys, one teal accent, fonts that ship with Gradio, so that nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
SANS, MONO = "IBM Plex Sans", "IBM Plex Mono"


def theme() -> gr.themes.Base:
    """Weights 400 and 700 only: the bundled files of weight 600 have no ASCII letters."""
    base = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=[gr.themes.LocalFont(SANS, weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont(MONO, weights=(400, 700)), "ui-monospace", "monospace"],
    )
    return base.set(**_grounds(), **_buttons(), **_blocks())


def _grounds() -> dict[str, str]:
    return {
        "body_background_fill": "#f6f7f8",
        "body_background_fill_dark": "#0e1215",
        "background_fill_primary": "#ffffff",
        "background_fill_primary_dark": "#161b1f",
        "background_fill_secondary": "#eef1f3",
        "background_fill_secondary_dark": "#1c2227",
        "body_text_color": "#1b2327",
        "body_text_color_dark": "#e4eaed",
        "body_text_color_subdued": "#5a676e",
        "body_text_color_subdued_dark": "#9aa8b0",
        "border_color_primary": "#dde3e6",
        "border_color_primary_dark": "#2b343a",
        "border_color_accent": "#0f766e",
        "border_color_accent_dark": "#2dd4bf",
        "color_accent": "#0f766e",
        "color_accent_soft": "#e3f3f1",
        "color_accent_soft_dark": "#12302d",
        "link_text_color": "#0f766e",
        "link_text_color_dark": "#5eead4",
    }


def _buttons() -> dict[str, str]:
    return {
        "button_primary_background_fill": "#0f766e",
        "button_primary_background_fill_dark": "#0f766e",
        "button_primary_background_fill_hover": "#115e59",
        "button_primary_background_fill_hover_dark": "#128077",
        "button_primary_text_color": "#ffffff",
        "button_primary_text_color_dark": "#ffffff",
        "button_primary_border_color": "transparent",
        "button_secondary_background_fill": "transparent",
        "button_secondary_background_fill_dark": "transparent",
        "button_secondary_background_fill_hover": "*background_fill_secondary",
        "button_secondary_background_fill_hover_dark": "*background_fill_secondary",
        "button_secondary_border_color": "*border_color_primary",
        "button_secondary_text_color": "*body_text_color",
        "button_border_width": "1px",
        "button_large_padding": "8px 18px",
        "button_large_text_size": "15px",
        "button_large_text_weight": "700",
        "button_small_text_weight": "400",
    }


def _blocks() -> dict[str, str]:
    return {
        "block_background_fill": "*background_fill_primary",
        "block_background_fill_dark": "*background_fill_primary",
        "block_border_color_dark": "*border_color_primary",
        "panel_background_fill_dark": "*background_fill_secondary",
        "block_border_width": "1px",
        "block_radius": "12px",
        "container_radius": "12px",
        "input_radius": "8px",
        "block_border_color": "*border_color_primary",
        "block_shadow": "none",
        "block_label_background_fill": "transparent",
        "block_label_border_width": "0px",
        "block_label_text_color": "*body_text_color_subdued",
        "block_title_text_color": "*body_text_color",
        "block_title_text_weight": "700",
        "block_title_text_size": "14px",
        "input_background_fill": "#ffffff",
        "input_background_fill_dark": "#11161a",
        "input_border_color": "*border_color_primary",
        "input_border_color_focus": "*color_accent",
        "layout_gap": "16px",
        "slider_color": "#0f766e",
        "slider_color_dark": "#2dd4bf",
    }
