"""The commands `gristmill recipe ...`."""

from __future__ import annotations

from cyclopts import App

from gristmill.pipeline.cli_shared import AsJson, Sets, print_table, show_json

recipe_app = App(name="recipe", help="List, show and check recipes.")


@recipe_app.command(name="list")
def recipe_list(*, as_json: AsJson = False) -> None:
    """List the recipes that come with Gristmill.

    Example: gristmill recipe list

    Args:
        as_json: print JSON.
    """
    from gristmill.pipeline.recipe_file import about, shipped_recipes

    rows = [{"recipe": name, "about": about(name)} for name in shipped_recipes()]
    if as_json:
        show_json(rows)
    else:
        print_table(rows)


@recipe_app.command(name="show")
def recipe_show(recipe: str, /, *, set: Sets = (), as_json: AsJson = False) -> None:
    """Show a recipe as it is written; with --json, with every default filled in.

    Example: gristmill recipe show refinedweb-lite

    Args:
        recipe: a file, or a name from `gristmill recipe list`.
        set: changes to the recipe, each PATH=VALUE; shown with every default filled in.
        as_json: print JSON.
    """
    from gristmill.pipeline.recipe import load_recipe, resolved
    from gristmill.pipeline.recipe_file import as_written, as_yaml

    if as_json:
        show_json(resolved(load_recipe(recipe, set, paths_required=False)))
    elif set:
        print(as_yaml(resolved(load_recipe(recipe, set, paths_required=False))), end="")
    else:
        print(as_written(recipe), end="")


@recipe_app.command(name="check")
def recipe_check(recipe: str, /, *, set: Sets = (), as_json: AsJson = False) -> None:
    """Check a recipe, and tell all its mistakes at once.

    Example: gristmill recipe check my-corpus.yaml

    Args:
        recipe: a file, or a name from `gristmill recipe list`.
        set: changes to the recipe, each PATH=VALUE.
        as_json: print the recipe as JSON, with every default filled in.
    """
    from gristmill.pipeline.recipe import load_recipe, resolved

    checked = load_recipe(recipe, set, paths_required=False)
    if as_json:
        show_json(resolved(checked))
        return
    print(f"{recipe}: no mistakes")
    for name, source in checked.sources.items():
        print(f"  {name}: {', '.join(stage.label for stage in source.stages) or 'no stages'}")
    across = [*(stage.label for stage in checked.stages), *(["tokenize"] if checked.tokenize else [])]
    print(f"  all sources: {', '.join(across) or 'no stages'}")
