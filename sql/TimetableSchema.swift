// ph
