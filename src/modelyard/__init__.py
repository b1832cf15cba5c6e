"""Modelyard: data → prepare → train → register → serve → monitor → react, in one place."""
