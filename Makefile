.PHONY: catalog pictures test

catalog: ## Rebuild the shipped records from their sources
	python -m gorilla_jupyter.catalog.recipes

pictures: ## Redraw the documentation's pictures (needs the docs extra and Chromium)
	python docs/take_pictures.py

test: ## Run every test in a virtual environment
	tests/run
