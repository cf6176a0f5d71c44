"""Rules workbook in, decisions out. Pure: time and facts are arguments."""
