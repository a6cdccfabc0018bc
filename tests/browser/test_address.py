"""The address in a real browser: it names the open tab, for a reload, for Back and for a link with a word in it."""

from __future__ import annotations


def opened(page, name):
    page.locator(f"#tab-{name}-button[aria-selected=true]").wait_for()


def test_a_reload_and_a_link_open_the_tab_that_the_address_names_and_back_leads_to_the_one_before(here, cached):
    office, url = here
    page = cached.new_page()
    page.goto(url)
    opened(page, "rank")
    for name in ("ppo", "runs"):
        page.click(f"#tab-{name}-button")
        opened(page, name)
        assert page.url == f"{url}/#{name}"
    page.reload()
    opened(page, "runs")
    page.go_back()
    opened(page, "ppo")
    page.go_back()
    opened(page, "rank")
    page.go_forward()
    opened(page, "ppo")
    page.goto("about:blank")
    page.goto(f'{url}/?theme=light#no"such')
    opened(page, "rank")
    page.close()
